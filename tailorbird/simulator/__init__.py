"""The simulated shop: people with tastes we know, so a test can say the platform found them."""
