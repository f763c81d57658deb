"""An SMTP server that prints its port and then every message it gets as one line of JSON: MODE FOLDER."""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

mode, folder = sys.argv[1:3]
context = None
if mode != "none":
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")


class Handler:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        print(
            json.dumps(
                {
                    "from": envelope.mail_from,
                    "to": envelope.rcpt_tos,
                    "subject": message["subject"],
                    "id": message["message-id"],
                    "headers": message.keys(),
                    "text": message.get_content(),
                    "user": session.auth_data,
                    "tls": session.ssl is not None or mode == "implicit",
                }
            ),
            flush=True,
        )
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = data.login == b"bot" and data.password == b"hunter2hunter2"
    return AuthResult(success=good, handled=False, auth_data="bot" if good else None)


words = {"enable_SMTPUTF8": True}
if mode != "none":
    words |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": mode == "starttls"}
if mode == "starttls":
    words |= {"tls_context": context, "require_starttls": True}


async def main():
    implicit = context if mode == "implicit" else None
    handler = Handler()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler, loop=loop, **words), "127.0.0.1", 0, ssl=implicit)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
