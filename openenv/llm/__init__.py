"""What environments and rollouts need of language models."""
