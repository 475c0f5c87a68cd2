"""OAuth and SOAP logins, and the tokens that they give out."""
