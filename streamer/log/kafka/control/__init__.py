"""Controls, audit records and dead letters, which operators read and change."""
