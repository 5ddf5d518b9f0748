# Check authentication status
if client.auth.is_authenticated():
    # Refresh token before expiry
    new_token = client.auth.refresh_token()

# Set token directly (for SSO integrations)
client.auth.set_token('eyJhbGciOiJIUzI1NiIs...')

# Logout
client.auth.logout()
