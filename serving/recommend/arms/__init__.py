"""The arms of a replica: versions it holds, recommenders made of them, swapped one by one."""
