-- SPDX-License-Identifier: Apache-2.0
-- Signatures and encrypted units, with keys made here by openssl, and those of the vectors.
local Host = require "support.host"
local cjson = require "cjson"
local offline = require "support.offline"
local vectors = dofile "spec/protocols/gbt32960/vectors.lua"

local VIN = "LTEST000000009025"
local TIME = vectors.TIME
local VEHICLE = "\1\1\3\1\2\x7A\0\2\xDB\x63\x0D\xE9\x2A\x79\x47\1\x2E\x10\x18"
local KEY = "00112233445566778899aabbccddeeff"

local function shell(command)
  local ok = os.execute(command .. " 2>/dev/null")
  assert(ok, command)
end

local function deliver(config, hex)
  local vin = vectors.unhex(hex):sub(5, 21)
  local blocks = offline.run(vectors.path, { "open " .. cjson.encode(config),
    "connect 192.0.2.1:5000", "feed 1 " .. vectors.login("$$", vin), "feed 1 " .. hex })
  local publish, sent = offline.of(blocks[4], "publish")[1], offline.of(blocks[4], "send")[1]
  return publish.topic:match "[^/]+$", cjson.decode(publish.payload), sent and sent.hex
end

local function numbers(der)
  local _, r_length = der:byte(3, 4)
  local r = der:sub(5, 4 + r_length)
  local s = der:sub(7 + r_length)
  local function whole(n) return ("\0"):rep(32 - #n) .. n:sub(-32) end
  return whole(r), whole(s)
end

describe("gbt32960 signatures", function()
  local public = Host.read "spec/data/gbt32960_rsa_pub.pem"

  it("of the vectors fit, and a changed byte does not", function()
    local good, bad = 0, 0
    for _, v in ipairs(vectors.load()) do
      if v.signature and v.cmd ~= "0x09" then
        local kind, json, answer = deliver({ public_key = public }, v.hex)
        assert.equal(v.signature.verifies, json.signature_valid, v.id)
        if v.signature.verifies then
          good = good + 1
          assert.truthy(kind == "report" or kind == "reissue")
          local bytes = vectors.unhex(v.hex)
          local at = 40
          bytes = bytes:sub(1, at - 1) .. string.char(bytes:byte(at) ~ 1) .. bytes:sub(at + 1, -2)
            .. string.char(bytes:byte(-1) ~ 1)
          kind, json, answer = deliver({ public_key = public }, vectors.hex(bytes))
        else
          bad = bad + 1
        end
        assert.equal("rejected", kind, v.id)
        assert.is_false(json.signature_valid)
        assert.equal(5, vectors.unhex(answer):byte(4))
      end
    end
    assert.is_true(good == 3 and bad == 1)
  end)

  it("of an activation are checked, too", function()
    local seen = 0
    for _, v in ipairs(vectors.load()) do
      if v.cmd == "0x09" and v.signature and v.signature.pubkey then
        local blocks = offline.run(vectors.path, { "open " .. cjson.encode { public_key = public },
          "connect 192.0.2.1:5000", "feed 1 " .. v.hex })
        local publish = offline.of(blocks[3], "publish")[1]
        assert.is_true(cjson.decode(publish.payload).signature_valid)
        seen = seen + 1
      end
    end
    assert.is_true(seen >= 1)
  end)

  it("are missed where they are asked for", function()
    local hex = vectors.frame("$$", 2, 0xFE, VIN, TIME .. VEHICLE)
    local kind, json = deliver({ public_key = public }, hex)
    assert.equal("rejected", kind)
    assert.same({ "signature: there is none" }, json.flaws)
    kind, json = deliver({}, hex)
    assert.equal("report", kind)
    assert.is_nil(json.signature_valid)
  end)

  it("with SM2 fit, and a changed byte does not", function()
    local dir = Host.folder()
    shell(("openssl ecparam -name SM2 -genkey -noout -out %s/key"):format(dir))
    shell(("openssl pkey -in %s/key -pubout -out %s/pub"):format(dir, dir))
    Host.write(dir .. "/msg", TIME .. VEHICLE)
    shell(("openssl dgst -sm3 -sign %s/key -sigopt distid:1234567812345678 -out %s/sig %s/msg")
      :format(dir, dir, dir))
    local r, s = numbers(Host.read(dir .. "/sig"))
    local config = { public_key = Host.read(dir .. "/pub") }
    local tail = "\xFF\1" .. string.pack(">s2s2", r, s)
    local kind, json = deliver(config, vectors.frame("$$", 2, 0xFE, VIN, TIME .. VEHICLE .. tail))
    assert.equal("report", kind)
    assert.is_true(json.signature_valid)
    local other = VEHICLE:sub(1, -2) .. "\x19"
    kind, json = deliver(config, vectors.frame("$$", 2, 0xFE, VIN, TIME .. other .. tail))
    assert.equal("rejected", kind)
    assert.is_false(json.signature_valid)
    Host.cleanup()
  end)
end)

describe("gbt32960 encrypted units", function()
  after_each(Host.cleanup)

  local KEYS = [[
    local tg = require "tidegate"
    tg.auth { id = "keys", api = 1, check = function(request)
      if request.device == "watcher" then return "next" end
      return "allow", { unit_key = "%s" }
    end }
  ]]

  local function encrypt(cipher, bytes)
    local dir = Host.folder()
    Host.write(dir .. "/plain", bytes)
    shell(("openssl enc -%s -K %s -iv %s -in %s/plain -out %s/secret"):format(cipher, KEY, KEY, dir,
      dir))
    return Host.read(dir .. "/secret")
  end

  it("are read where a script gives the key of the vehicle", function()
    local folder = Host.folder() .. "/keys"
    assert(require "luv".fs_mkdir(folder, 448))
    Host.write(folder .. "/init.lua", KEYS:format(KEY))
    local host = Host.start { config = {
      plugins = { { name = "mqtt" }, { name = "gbt32960" }, { name = folder } },
      auth = { "keys" },
      listeners = {
        { name = "mqtt", adapter = "mqtt", anonymous = true },
        { name = "gbt32960", adapter = "gbt32960" },
      },
    } }
    local sub = host:cli_spawn("subscribe", "gbt32960/+/report")
    local conn = Host.connect(host.ports.gbt32960)
    conn:send(vectors.unhex(vectors.login("$$", VIN)))
    conn:expect(vectors.unhex(vectors.frame("$$", 1, 1, VIN, TIME)))
    Host.eventually(function()
      local _, topics = host:api("GET", "/api/v1/topics")
      for _, item in ipairs(topics.items) do
        if item.filter == "gbt32960/+/report" then return true end
      end
    end, "the subscription")
    for cipher, name in pairs { [3] = "aes-128-cbc", [5] = "sm4-cbc" } do
      local unit = encrypt(name, TIME .. VEHICLE)
      conn:send(vectors.unhex(vectors.frame("$$", 2, 0xFE, VIN, unit, cipher)))
      local line = sub:line "speed_kmh"
      assert.truthy(line:find('"speed_kmh":63.4', 1, true), line)
    end
    conn:send(vectors.unhex(vectors.frame("$$", 2, 0xFE, VIN, ("x"):rep(32), 5)))
    conn:expect(vectors.unhex(vectors.frame("$$", 2, 7, VIN, "")):sub(1, 22))
    sub:kill "sigterm"
    sub:wait()
    host:stop()
  end)
end)
