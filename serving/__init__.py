"""The Ray Serve applications: recommend and collect."""
