-- SPDX-License-Identifier: Apache-2.0
-- MQTT over TLS, with and without certificates of the clients.
local Host = require "support.host"

local host, folder

local function openssl(...)
  local code, _, err = Host.run("openssl", { ... })
  assert(code == 0, err)
end

local EC = { "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes" }

-- An authority, and what it signs.
local function authority()
  openssl("req", "-x509", EC[1], EC[2], EC[3], EC[4], EC[5], "-days", 2, "-subj", "/CN=authority",
    "-keyout", folder .. "/ca.key", "-out", folder .. "/ca.pem")
end

local function certify(file, name)
  local path = folder .. "/" .. file
  openssl("req", EC[1], EC[2], EC[3], EC[4], EC[5], "-subj", "/CN=" .. name,
    "-addext", "subjectAltName=DNS:localhost", "-keyout", path .. ".key", "-out", path .. ".csr")
  openssl("x509", "-req", "-in", path .. ".csr", "-CA", folder .. "/ca.pem", "-CAkey",
    folder .. "/ca.key", "-CAcreateserial", "-days", 2, "-copy_extensions", "copy",
    "-out", path .. ".pem")
end

local function listener(name, verify)
  return { name = name, adapter = "mqtt", anonymous = true, tls = {
    cert = folder .. "/server.pem", key = folder .. "/server.key",
    ca = folder .. "/ca.pem", verify = verify } }
end

local function mosquitto(what, name, ...)
  return what, { "-h", "localhost", "-p", host.ports[name], "--cafile", folder .. "/ca.pem", ... }
end

describe("MQTT over TLS", function()
  setup(function()
    folder = Host.folder()
    authority()
    certify("server", "localhost")
    certify("client", "a client")
    host = Host.start { config = {
      listeners = { listener("tls", "none"), listener("mutual", "required") } } }
  end)
  teardown(function() host:stop() Host.cleanup() end)

  local identity
  before_each(function()
    identity = { "--cert", folder .. "/client.pem", "--key", folder .. "/client.key" }
  end)

  local function exchange(name, ...)
    local path = Host.write(folder .. "/payload", ("0123456789"):rep(30000))
    local command, args = mosquitto("mosquitto_sub", name, "-t", "t", "-C", "1", "-F", "%l", "-d",
      "-q", "2", ...)
    local sub = Host.spawn("stdbuf", { "-oL", command, table.unpack(args) })
    sub:line "Subscribed"
    local code = Host.run(mosquitto("mosquitto_pub", name, "-t", "t", "-f", path, "-q", "2", ...))
    assert.equal(0, code)
    sub:line "^300000$"
    assert.equal(0, (sub:wait()))
  end

  it("carries large messages both ways [3.1.1: 7.1.1-1]", function() exchange "tls" end)

  it("knows clients by their certificates, and refuses those without", function()
    exchange("mutual", table.unpack(identity))
    assert.not_equal(0, (Host.run(mosquitto("mosquitto_pub", "mutual", "-t", "t", "-m", "x"))))
  end)

  it("is not taken for plain MQTT, nor plain MQTT for it", function()
    local plain = Host.connect(host.ports.tls)
    plain:send "\x10\x0E\0\4MQTT\4\2\0\60\0\2id"
    plain:await_close()
    exchange "tls"
  end)
end)
