"""``python -m tailorbird`` is the ``tailorbird`` command."""

from tailorbird.cli import main

main()
