"""What an experiment is: its declaration as TOML, its variants, and the cells that factors make."""
