"""Judge: the JWT grant of Box's own SDK, with a key of the moment."""

from box_sdk_gen import BoxClient, BoxJWTAuth, JWTConfig, NetworkSession
from box_sdk_gen.networking.base_urls import BaseUrls
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from near import URL, claim

key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
phrase = serialization.BestAvailableEncryption(b"phrase")
pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, phrase).decode()
base = f"{URL}/box"
urls = BaseUrls(base_url=base, upload_url=f"{base}/api", oauth_2_url=f"{base}/api/oauth2")
config = JWTConfig(
    client_id="id", client_secret="secret", jwt_key_id="kid", private_key=pem, private_key_passphrase="phrase",
    enterprise_id="1",
)
client = BoxClient(auth=BoxJWTAuth(config), network_session=NetworkSession(base_urls=urls))
claim(client.users.get_user_me().id, "JWT")
print("ok")
