"""What measures the workbench, and what compiles models for it. Never imported by `workbench`."""
