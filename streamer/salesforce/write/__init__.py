"""Writing to an org: records through sObject Collections, and calls of Apex methods."""
