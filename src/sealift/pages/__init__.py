"""Pages of HTML with everything in them: the frame, the pictures, and that of a run."""
