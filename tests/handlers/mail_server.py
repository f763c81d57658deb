"""An SMTP server that prints its port and then every message it gets as one line of JSON: MODE FOLDER."""

import email
import email.policy
import json
import ssl
import sys
import threading

from aiosmtpd.controller import Controller
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


class Server(Controller):
    def factory(self):
        words = {"enable_SMTPUTF8": True}
        if mode == "none":
            return SMTP(self.handler, **words)
        words |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": mode == "starttls"}
        if mode == "starttls":
            words |= {"tls_context": context, "require_starttls": True}
        return SMTP(self.handler, **words)


server = Server(Handler(), hostname="127.0.0.1", port=0, ssl_context=context if mode == "implicit" else None)
# Port 0 is chosen by the system; the controller's own check of the port would ask for port 0.
server._trigger_server = lambda: None
server.start()
print(server.server.sockets[0].getsockname()[1], flush=True)
threading.Event().wait()
