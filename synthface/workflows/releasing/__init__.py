"""What leaves the building: clearance, marked files, the ledger, and the checks of all that."""
