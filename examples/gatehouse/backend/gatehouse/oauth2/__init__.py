"""Gatehouse as an OAuth2 and OpenID Connect provider."""
