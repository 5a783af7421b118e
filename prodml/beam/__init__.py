"""Runner profiles, and Beam runners for pipelines in this process."""
