"""Processes of our own: started, watched, and surely ended with all their children."""
