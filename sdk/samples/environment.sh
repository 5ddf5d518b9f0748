# For JWT authentication
export ONA_AUTH_ENDPOINT=https://auth-api.asoba.co/prod

# For API key authentication
export INVERTER_TELEMETRY_API_KEY=opa_prod_xxxxx
export OODA_TERMINAL_API_KEY=opa_prod_xxxxx
