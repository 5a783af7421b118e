"""Runner profiles and the Beam pipeline an executor gets."""
