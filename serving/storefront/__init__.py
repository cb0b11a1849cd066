"""A small shop on the platform, as an application of its own: it asks over HTTP, tells by the browser SDK, and shows what came of it."""
