"""The Ray Serve applications: recommend and collect.

``command`` starts Ray (``cluster``) and the applications (``apps``); ``http`` is the edge of both, ``recommend`` and
``collect`` are what each does with a request, ``writer`` and ``metrics`` what they share. ``bench`` measures speed.
"""
