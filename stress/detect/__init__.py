"""The search for a defect by chance: trials, times, the table of what was found."""
