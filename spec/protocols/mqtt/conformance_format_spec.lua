-- SPDX-License-Identifier: Apache-2.0
-- Packets that break the format (support/mqtt_mistakes.lua): each ends the connection it came on
-- with its reason, and does nothing else.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local bad = require "support.mqtt_mistakes"
local tags = require "support.statements"
local wire = Mqtt.wire

local host
local MALFORMED = 0x81

for v = 4, 5 do
  describe(Mqtt.names[v] .. " packets", function()
    local witness

    -- Sends `bytes` of a client of its own, which must be thrown out for them.
    local function refused(bytes, reason)
      local c = Mqtt.connect(host.ports.mqtt, { id = "c", version = v })
      c:send(bytes)
      c:dismissed(reason)
    end

    local function refused_connect(options, reason)
      local c = Mqtt.open(host.ports.mqtt, v)
      c:send(wire.connect(options))
      if v == 5 then assert.equal(reason, c:read("CONNACK").reason) end
      c:closed()
    end

    setup(function()
      host = Host.start {}
      witness = Mqtt.connect(host.ports.mqtt, { id = "witness", version = v })
      witness:subscribe("#", 0)
    end)
    teardown(function()
      assert.same({}, witness:settle()) -- nothing of all this was published
      witness:disconnect()
      host:stop()
      Host.cleanup()
    end)

    for _, place in ipairs(bad.places) do
      if place[3][v] then
        it("have UTF-8 in " .. place[1] .. tags(v, place[3]), function()
          for _, text in ipairs(bad.no_utf8) do refused(place[2](v, text), MALFORMED) end
        end)

        it("have no U+0000 in " .. place[1] .. tags(v, place[4]), function()
          for _, text in ipairs(bad.with_nul) do refused(place[2](v, text), MALFORMED) end
        end)
      end
    end

    for _, place in ipairs(bad.connect_places) do
      it("have text without U+0000 in " .. place[1] .. tags(v, place[3]), function()
        for _, list in ipairs { bad.no_utf8, bad.with_nul } do
          for _, text in ipairs(list) do refused_connect(place[2](v, text), MALFORMED) end
        end
      end)
    end

    for _, mistake in ipairs(bad.mistakes) do
      if mistake[4][v] then
        it("of a client are not " .. mistake[1] .. tags(v, mistake[4]), function()
          local bytes = mistake[3]
          refused(type(bytes) == "string" and bytes or bytes(v), mistake[2])
        end)
      end
    end

    for _, packet in ipairs(bad.flags) do
      if packet[4][v] then
        it("have the flags of " .. packet[1] .. tags(v, packet[4]), function()
          local body = type(packet[3]) == "table" and packet[3][v] or packet[3]
          for flags = 0, 15 do
            local first = packet[2] & 0xF0 | flags
            if first ~= packet[2] then refused(wire.packet(first, body), MALFORMED) end
          end
        end)
      end
    end

    it("do not set reserved bits in SUBSCRIBE"
      .. tags(v, { [4] = "3.8.3-4", [5] = "3.8.3-5" }), function()
      for bit = v == 5 and 6 or 2, 7 do
        refused(wire.subscribe(v, 1, { { "a", 1 << bit } }), MALFORMED)
      end
    end)
  end)
end
