-- One XMPP server of the test network. Filled in by rig.py; a word in braces is replaced.
run_as_root = true
daemonize = false
pidfile = "{dir}/prosody.pid"
data_path = "{dir}/data"
certificates = "{dir}"
admins = {}
modules_enabled = {
	"tls", "dialback", "s2s", "c2s", "saslauth", "disco", "roster", "presence", "message", "iq", "ping",
	"offline",
}
modules_disabled = { "posix" }

c2s_interfaces = { "{ip}" }
c2s_ports = { {c2s_port} }
s2s_interfaces = { "{ip}" }
s2s_ports = { {s2s_port} }
s2s_direct_tls_interfaces = { "{ip}" }
s2s_direct_tls_ports = { {direct_port} }
component_ports = {}
http_ports = {}
https_ports = {}

c2s_require_encryption = true
s2s_require_encryption = true
s2s_secure_auth = {secure_auth}
s2s_timeout = 10
use_ipv6 = false
unbound = { resolvconf = false, hoststxt = false, forward = { "{dns}" } }

authentication = "internal_plain"
storage = "internal"
log = { debug = "*console" }
ssl = {
	key = "{pki}/{certificate}.key",
	certificate = "{pki}/{certificate}.pem",
	cafile = "{pki}/ca.pem",
}

VirtualHost "{domain}"
