"""Arrays and frames in, frames and figures out: neighborhoods, rank correlation, searches, reports."""
