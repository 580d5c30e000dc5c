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

  local function fits_and_not(curve, digest, algorithm)
    local dir = Host.folder()
    shell(("openssl ecparam -name %s -genkey -noout -out %s/key"):format(curve, dir))
    shell(("openssl pkey -in %s/key -pubout -out %s/pub"):format(dir, dir))
    Host.write(dir .. "/msg", TIME .. VEHICLE)
    shell(("openssl dgst %s -sign %s/key -out %s/sig %s/msg"):format(digest, dir, dir, dir))
    local r, s = numbers(Host.read(dir .. "/sig"))
    local config = { public_key = Host.read(dir .. "/pub") }
    local tail = "\xFF" .. string.pack(">Bs2s2", algorithm, r, s)
    local kind, json = deliver(config, vectors.frame("$$", 2, 0xFE, VIN, TIME .. VEHICLE .. tail))
    assert.equal("report", kind)
    assert.is_true(json.signature_valid)
    local other = VEHICLE:sub(1, -2) .. "\x19"
    kind, json = deliver(config, vectors.frame("$$", 2, 0xFE, VIN, TIME .. other .. tail))
    assert.equal("rejected", kind)
    assert.is_false(json.signature_valid)
    Host.cleanup()
  end

  it("with SM2 fit, and a changed byte does not", function()
    fits_and_not("SM2", "-sm3 -sigopt distid:1234567812345678", 1)
  end)

  it("with ECC fit, and a changed byte does not", function()
    fits_and_not("prime256v1", "-sha256", 3)
  end)
end)

describe("gbt32960 encrypted units", function()
  after_each(Host.cleanup)

  local KEYS = [[
    local tg = require "tidegate"
    local keys = %s
    tg.auth { id = "keys", api = 1, check = function(request)
      local key = keys[request.device]
      if not key then return "next" end
      return "allow", { unit_key = key }
    end }
  ]]

  --- Bare SM2 bytes, as devices have them, of the sequence that openssl writes.
  local function bare(der)
    local function content(at)
      local n = der:byte(at + 1)
      local extra = n >= 0x80 and n - 0x80 or 0
      if extra > 0 then n = string.unpack(">I" .. extra, der, at + 2) end
      return der:sub(at + 2 + extra, at + 1 + extra + n), at + 2 + extra + n
    end
    local inside = content(1)
    der = inside
    local x, at = content(1)
    local y, hash, text
    y, at = content(at)
    hash, at = content(at)
    text = content(at)
    local function whole(n) return (("\0"):rep(32) .. n):sub(-32) end
    return "\4" .. whole(x) .. whole(y) .. hash .. text
  end

  --- A key of `algorithm`. @return its PEM, and what encrypts with it
  local function key_pair(dir, name, algorithm)
    local path = dir .. "/" .. name
    shell(("openssl genpkey %s -out %s"):format(algorithm, path))
    return Host.read(path), function(bytes)
      Host.write(path .. ".plain", bytes)
      shell(("openssl pkeyutl -encrypt -inkey %s -in %s.plain -out %s.secret")
        :format(path, path, path))
      return Host.read(path .. ".secret")
    end
  end

  local function symmetric(dir, cipher)
    return KEY, function(bytes)
      Host.write(dir .. "/plain", bytes)
      shell(("openssl enc -%s -K %s -iv %s -in %s/plain -out %s/secret")
        :format(cipher, KEY, KEY, dir, dir))
      return Host.read(dir .. "/secret")
    end
  end

  --- Vehicles by VIN: the encryption byte, the key, and what encrypts with it.
  local function vehicles()
    local dir = Host.folder()
    local all = {}
    local function add(encryption, key, encrypt)
      all[#all + 1] = { vin = ("LTEST00000000%04d"):format(#all + 1), encryption = encryption,
        key = key, encrypt = encrypt }
    end
    add(3, symmetric(dir, "aes-128-cbc"))
    add(5, symmetric(dir, "sm4-cbc"))
    add(2, key_pair(dir, "rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:1024"))
    local sm2, encrypt = key_pair(dir, "sm2", "-algorithm SM2")
    add(4, sm2, encrypt)
    add(4, sm2, function(bytes) return bare(encrypt(bytes)) end)
    return all
  end

  local function plugin(all)
    local folder = Host.folder() .. "/keys"
    assert(require "luv".fs_mkdir(folder, 448))
    local parts = {}
    for i, v in ipairs(all) do parts[i] = ("[%q] = %q"):format(v.vin, v.key) end
    Host.write(folder .. "/init.lua", KEYS:format("{" .. table.concat(parts, ", ") .. "}"))
    return folder
  end

  local function start(folder)
    return Host.start { config = {
      plugins = { { name = "mqtt" }, { name = "gbt32960" }, { name = folder } },
      auth = { "keys" },
      listeners = {
        { name = "mqtt", adapter = "mqtt", anonymous = true },
        { name = "gbt32960", adapter = "gbt32960" },
      },
    } }
  end

  it("are read where a script gives the key of the vehicle", function()
    local all = vehicles()
    local host = start(plugin(all))
    local sub = host:cli_spawn("subscribe", "gbt32960/+/report")
    Host.eventually(function()
      local _, topics = host:api("GET", "/api/v1/topics")
      for _, item in ipairs(topics.items) do
        if item.filter == "gbt32960/+/report" then return true end
      end
    end, "the subscription")
    for _, v in ipairs(all) do
      local conn = Host.connect(host.ports.gbt32960)
      conn:send(vectors.unhex(vectors.login("$$", v.vin)))
      conn:expect(vectors.unhex(vectors.frame("$$", 1, 1, v.vin, TIME)))
      local unit = v.encrypt(TIME .. VEHICLE)
      conn:send(vectors.unhex(vectors.frame("$$", 2, 0xFE, v.vin, unit, v.encryption)))
      local line = sub:line "speed_kmh"
      assert.truthy(line:find('"speed_kmh":63.4', 1, true), line)
      assert.truthy(line:find(v.vin, 1, true), line)
      local changed = unit:sub(1, -2) .. string.char(unit:byte(-1) ~ 1)
      conn:send(vectors.unhex(vectors.frame("$$", 2, 0xFE, v.vin, changed, v.encryption)))
      conn:expect(vectors.unhex(vectors.frame("$$", 2, 7, v.vin, "")):sub(1, 22))
      conn:close()
    end
    sub:kill "sigterm"
    sub:wait()
    host:stop()
  end)

  local function tell(conn, v, cmd, unit, encryption)
    conn:send(vectors.unhex(vectors.frame("$$", cmd, 0xFE, v.vin, unit, encryption)))
  end

  local function answers(conn, v, cmd, flag)
    conn:expect(vectors.unhex(vectors.frame("$$", cmd, flag, v.vin, "")):sub(1, 22))
    conn:read(string.unpack(">I2", conn:read(2)) + 1)
  end

  it("may be logins already: the script is asked before they are read", function()
    local all = vehicles()
    local host = start(plugin(all))
    local login = vectors.unhex(vectors.login("$$", VIN)):sub(25, -2)
    for _, v in ipairs(all) do
      local conn = Host.connect(host.ports.gbt32960)
      local unit = v.encrypt(login)
      tell(conn, v, 1, unit, v.encryption)
      answers(conn, v, 1, 1)
      tell(conn, v, 7, "", 1)
      answers(conn, v, 7, 1)
      conn:close()
      local wrong = Host.connect(host.ports.gbt32960)
      tell(wrong, v, 1, unit:sub(1, -2) .. string.char(unit:byte(-1) ~ 1), v.encryption)
      answers(wrong, v, 1, 7)
      wrong:await_close()
    end
    local stranger = Host.connect(host.ports.gbt32960)
    tell(stranger, { vin = "LTEST000000009999" }, 1, all[1].encrypt(login), 3)
    answers(stranger, { vin = "LTEST000000009999" }, 1, 7)
    stranger:await_close()
    host:stop()
  end)
end)
