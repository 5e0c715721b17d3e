"""What breaks live updates at a site, found by looking and by opening streams as a visitor does."""
