from ona_platform import OnaClient

# Initialize with auth endpoint
client = OnaClient(auth_endpoint='https://auth-api.asoba.co/prod')

# Login
result = client.auth.login('user@example.com', 'password')

# Handle MFA if required
if result.get('mfa_required'):
    if result.get('mfa_enrollment'):
        # Display QR code from provisioning_uri for first-time setup
        print(f"Scan QR: {result['provisioning_uri']}")

    # Verify TOTP code
    result = client.auth.verify_mfa(result['mfa_token'], '123456')

# Token is automatically stored, use for subsequent requests
user = client.auth.get_current_user()
print(f"Logged in as: {user['username']} (Role: {user['role_id']})")
