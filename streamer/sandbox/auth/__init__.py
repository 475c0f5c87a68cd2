"""OAuth and SOAP logins, and the access tokens that they issue."""
