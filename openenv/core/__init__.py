"""The import paths that existing environments and trainers use: re-exports, nothing else."""
