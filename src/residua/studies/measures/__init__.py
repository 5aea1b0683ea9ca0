"""What is measured on a trial: each a few lines over `residua.diagnostics` or over a run's own files."""
