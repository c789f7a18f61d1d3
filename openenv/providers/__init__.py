"""What starts something that listens, and stops it again."""
