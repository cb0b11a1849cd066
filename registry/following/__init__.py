"""From an alias to a verified bundle on this machine: where it points, the download, whoever follows it."""
