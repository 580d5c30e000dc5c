-- SPDX-License-Identifier: Apache-2.0
-- A new version of the adapter takes new connections while the old one serves its own.
local Host = require "support.host"
local Mqtt = require "support.mqtt"

describe("a reload of the MQTT adapter", function()
  after_each(Host.cleanup)

  it("leaves connections where they are and sessions between the versions", function()
    local folder = Host.folder()
    local copy = folder .. "/mqtt.so"
    Host.write(copy, Host.read(Host.build .. "/plugins/mqtt.so"))
    local host = Host.start { config = {
      plugins = { { name = copy, options = { topic_alias_maximum = 3 } } },
      listeners = { { name = "mqtt", adapter = "mqtt", anonymous = true } },
    } }
    local function client(options) return Mqtt.connect(host.ports.mqtt, options) end
    local stay = { id = "stay", clean = false, props = { session_expiry = 100 } }
    local old, leaving = client(stay), client { id = "leaving" }
    old:subscribe("t", 1)
    assert.equal(3, old.connack.props.alias_maximum)

    Host.write(copy, Host.read(copy) .. "\0") -- the same code with another hash
    local code, out, err = host:cli("reload", "mqtt")
    assert.equal(0, code, out .. err)
    local new = client { id = "new" }
    new:publish("t", "from the new version", { qos = 1 })
    assert.equal("from the new version", old:receive().payload)
    leaving:publish("t", "from the old one", { qos = 2 })
    assert.equal("from the old one", old:receive().payload)
    leaving:disconnect()
    old:settle() -- its acknowledgements have arrived

    local moved = client(stay) -- taken over by a connection of the new version
    old:dismissed(0x8E)
    assert.is_true(moved.connack.present)
    new:publish("t", "still subscribed", { qos = 1 })
    assert.equal("still subscribed", moved:receive().payload)
    host:log_line "mqtt 1.0.0 %(version 1%) is gone"
    moved:disconnect(0, { session_expiry = 0 })
    new:disconnect()
    host:stop()
  end)
end)
