"""Judge: the browser logins of Microsoft's and Google's own libraries, where the person agrees at once."""

import os
import urllib.error
import urllib.parse
import urllib.request

import msal
import requests
from google_auth_oauthlib.flow import Flow
from near import URL, claim, control, refused
from oauthlib.oauth2.rfc6749.errors import AccessDeniedError, InvalidGrantError

# The fake speaks no TLS; both vendors may answer with more or fewer scopes than were asked for.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = os.environ["OAUTHLIB_RELAX_TOKEN_SCOPE"] = "1"


class Stay(urllib.request.HTTPRedirectHandler):
    """A browser that does not go where it is sent."""

    def redirect_request(self, *_):
        return None


def opened(page):
    """Where the page sends the browser, or its refusal."""
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay)
    try:
        browser.open(page)
    except urllib.error.HTTPError as answer:
        return answer.headers["location"] or answer.code
    return None


def brought(page):
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(opened(page)).query))


MICROSOFT = "https://login.microsoftonline.com"


class Near:
    """MSAL's connection: what it asks of Microsoft goes to the fake; where its endpoints are is said here."""

    def __init__(self):
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, url, **_):
        answer = requests.Response()
        answer.status_code = 200 if url.split("?")[0].endswith("openid-configuration") else 404
        base = f"{MICROSOFT}/common/oauth2/v2.0"
        answer._content = (
            f'{{"authorization_endpoint": "{base}/authorize", "token_endpoint": "{base}/token",'
            f' "issuer": "{MICROSOFT}/{{tenantid}}/v2.0"}}'
        ).encode()
        return answer

    def post(self, url, **more):
        return self.session.post(near(url), **more)

    def close(self):
        self.session.close()


def near(url):
    return url.replace(MICROSOFT, f"{URL}/onedrive")


app = msal.PublicClientApplication("id", authority=f"{MICROSOFT}/common", http_client=Near())


def begun(redirect="http://localhost:1234"):
    flow = app.initiate_auth_code_flow(["Files.ReadWrite"], redirect_uri=redirect)
    return flow, near(flow["auth_uri"])


flow, page = begun()
claim("code_challenge_method=S256" in page, "Microsoft's own client has PKCE")
answer = brought(page)
granted = app.acquire_token_by_auth_code_flow(flow, answer)
claim("access_token" in granted and "refresh_token" in granted, granted.get("error_description"))
again = app.acquire_token_by_auth_code_flow(flow, answer)
claim(again.get("error") == "invalid_grant", "a code works once")
flow, page = begun()
other, _ = begun()
wrong = app.acquire_token_by_auth_code_flow({**flow, "code_verifier": other["code_verifier"]}, brought(page))
claim(wrong.get("error") == "invalid_grant", "a code is bound to its verifier")
flow, page = begun()
elsewhere = app.acquire_token_by_auth_code_flow({**flow, "redirect_uri": "http://localhost:1"}, brought(page))
claim(elsewhere.get("error") == "invalid_grant", "a code is bound to its address")
claim(opened(begun("http://127.0.0.1:1234")[1]) == 400, "the name is registered, not the number")
flow, page = begun()
refused(ValueError, lambda: app.acquire_token_by_auth_code_flow(flow, {**brought(page), "state": "guessed"}))

config = {
    "client_id": "id",
    "client_secret": "secret",
    "auth_uri": f"{URL}/gdrive/o/oauth2/v2/auth",
    "token_uri": f"{URL}/gdrive/token",
}


def google(scope="drive.file"):
    scopes = [f"https://www.googleapis.com/auth/{scope}"]
    flow = Flow.from_client_config({"installed": config}, scopes, redirect_uri="http://127.0.0.1:1234/")
    flow.oauth2session.trust_env = False
    page, _ = flow.authorization_url(access_type="offline")
    return flow, page


for scope in ["drive.file", "drive"]:
    flow, page = google(scope)
    claim("code_challenge_method=S256" in page, "Google's own client has PKCE")
    answer = opened(page)
    flow.fetch_token(authorization_response=answer)
    claim(flow.credentials.refresh_token, "Google's refresh token")
    told = flow.oauth2session.token["scope"]
    claim(f"https://www.googleapis.com/auth/{scope}" in ([told] if isinstance(told, str) else told), "what was agreed to")
    refused(InvalidGrantError, lambda: flow.fetch_token(authorization_response=answer))
flow, page = google()
flow.code_verifier = "w" * 64
refused(InvalidGrantError, lambda: flow.fetch_token(authorization_response=opened(page)))

# Both hear that a person refuses.
for drive in ["onedrive", "gdrive"]:
    control("refuse", drive=drive)
flow, page = begun()
claim(app.acquire_token_by_auth_code_flow(flow, brought(page)).get("error") == "access_denied", "refused at Microsoft")
flow, page = google()
refused(AccessDeniedError, lambda: flow.fetch_token(authorization_response=opened(page)))
print("ok")
