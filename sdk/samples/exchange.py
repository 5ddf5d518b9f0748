# Exchange external JWT for Ona token
result = client.auth.exchange_token(
    external_token='external_jwt',
    provider='external-sso'
)
