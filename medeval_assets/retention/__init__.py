"""What leaves the platform on purpose: data that had to go, and versions that nobody needs."""
