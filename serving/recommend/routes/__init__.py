"""The routes of the recommend application, and what each of them calls."""
