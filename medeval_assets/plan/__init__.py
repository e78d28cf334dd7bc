"""What an evaluation would make again, why, and what that would cost; found without making any of it."""
