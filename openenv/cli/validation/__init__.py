"""What `openenv validate` looks at: a folder as it lies there, and a server as it plays."""
