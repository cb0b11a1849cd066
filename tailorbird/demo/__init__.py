"""The demo: the whole circle on one machine, each step one ``tailorbird`` command, then serving until Ctrl-C."""
