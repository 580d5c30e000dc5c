-- SPDX-License-Identifier: Apache-2.0
-- What nobody should send: mutations of all vectors, lengths that lie, links that vanish.
local cjson = require "cjson"
local offline = require "support.offline"
local vectors = dofile "spec/protocols/gbt32960/vectors.lua"

local frame, login = vectors.frame, vectors.login
local VIN = "LTEST000000009016"
local TIME = vectors.TIME

local function numbers(seed)
  local n = seed
  return function(most)
    n = (n * 1103515245 + 12345) & 0x7FFFFFFF
    return (n >> 8) % most
  end
end

--- Changes, cuts or doubles bytes of the unit; length and checksum are right again.
local function mutate(bytes, random)
  local unit = bytes:sub(25, -2)
  for _ = 1, 1 + random(4) do
    local at, what = random(#unit + 1), random(5)
    if what == 0 then unit = unit:sub(1, at)
    elseif what == 1 then unit = unit:sub(1, at) .. unit:sub(at + 2)
    elseif what == 2 then unit = unit:sub(1, at) .. "\xFF" .. unit:sub(at + 2)
    elseif what == 3 then unit = unit:sub(1, at) .. "\xFE\xFF" .. unit:sub(at + 1)
    else unit = unit:sub(1, at) .. string.char(random(256)) .. unit:sub(at + 2) end
  end
  local command = random(8) == 0 and random(256) or bytes:byte(3)
  local flag = random(8) == 0 and random(256) or bytes:byte(4)
  return frame(bytes:sub(1, 2), command, flag, bytes:sub(5, 21), unit, bytes:byte(22))
end

local function errors(blocks)
  local out = {}
  for _, events in ipairs(blocks) do
    for _, e in ipairs(events) do
      if e.level == "error" then out[#out + 1] = e.text end
      if e.payload then cjson.decode(e.payload) end
    end
  end
  return out
end

describe("gbt32960 bad input", function()
  for _, config in ipairs { '{"takeovers":1000}',
    '{"takeovers":1000,"payload":"emqx","ack":"echo"}' } do
    it("raises no error, whatever is in a unit, with " .. config, function()
      local random, commands, n = numbers(32960), {}, 0
      for _, v in ipairs(vectors.load()) do
        local bytes = vectors.unhex(v.hex)
        for _ = 1, #bytes >= 25 and 6 or 0 do
          if n % 40 == 0 then commands[#commands + 1] = "open " .. config end
          local conn = n % 40 + 1
          n = n + 1
          commands[#commands + 1] = "connect 192.0.2.1:5000"
          commands[#commands + 1] = ("feed %d %s"):format(conn,
            login(bytes:sub(1, 2) == "$$" and "$$" or "##", bytes:sub(5, 21)))
          commands[#commands + 1] = ("feed %d %s"):format(conn, mutate(bytes, random))
        end
      end
      assert.is_true(n > 800)
      assert.same({}, errors(offline.run(vectors.path, commands)))
    end)
  end

  it("does not cost the frames behind a length that is too small or too large", function()
    local beat = frame("##", 7, 0xFE, VIN, "")
    local unit = vectors.unhex(frame("##", 2, 0xFE, VIN, TIME .. "\4\1\0\1\0\2"))
    local small = vectors.hex(unit:sub(1, 23) .. "\3" .. unit:sub(25))
    local large = vectors.hex(unit:sub(1, 23) .. "\40" .. unit:sub(25))
    local blocks = offline.run(vectors.path, { "open {}", "connect 192.0.2.1:5000",
      "feed 1 " .. login("##", VIN), "feed 1 " .. small .. beat,
      "feed 1 " .. large .. beat .. beat })
    local function flags(i)
      local out = {}
      for n, e in ipairs(offline.of(blocks[i], "send")) do out[n] = e.hex:sub(7, 8) end
      return out
    end
    assert.same({ "02", "01" }, flags(4)) -- the first is to the frame itself
    assert.same({ "02", "01", "01" }, flags(5))
  end)

  it("with a wrong checksum is answered where it is a report of this link's vehicle", function()
    local function damaged(command, flag, vin, start)
      local bytes = vectors.unhex(frame(start or "##", command, flag, vin, TIME .. "\4\1\0\1\0\2"))
      return "feed 1 " .. vectors.hex(bytes:sub(1, -2) .. string.char(bytes:byte(-1) ~ 1))
    end
    local blocks = offline.run(vectors.path, { "open {}", "connect 192.0.2.1:5000",
      damaged(2, 0xFE, VIN), "feed 1 " .. login("##", VIN),
      damaged(2, 0xFE, VIN), damaged(3, 0xFE, VIN), damaged(2, 0xFE, VIN, "$$"),
      damaged(1, 0xFE, VIN), damaged(2, 1, VIN), damaged(2, 0xFE, "LTEST000000009017"),
      ("deliver %s gbt32960/%s/down 0 %s"):format(VIN, VIN, '{"command":"quality"}') })
    local function answers(i)
      local out = {}
      for _, e in ipairs(offline.of(blocks[i], "send")) do out[#out + 1] = e.hex end
      assert.same({}, offline.of(blocks[i], i == 11 and "junk" or "publish"))
      return out
    end
    assert.same({}, answers(3))
    assert.same({ frame("##", 2, 2, VIN, TIME) }, answers(5))
    assert.same({ frame("##", 3, 2, VIN, TIME) }, answers(6))
    assert.same({ frame("$$", 2, 2, VIN, TIME) }, answers(7))
    for i = 8, 10 do assert.same({}, answers(i)) end
    local quality = cjson.decode(offline.of(blocks[11], "publish")[1].payload)
    assert.equal(5, quality.checksum_errors) -- what names another vehicle is not its own
  end)

  it("of texts stays JSON", function()
    local unit = TIME .. "\0\1" .. "\xFF\xFE\"\\\n89860000000000" .. "/" .. "\0\0"
    local blocks = offline.run(vectors.path, { "open {}", "connect 192.0.2.1:5000",
      "feed 1 " .. frame("##", 1, 0xFE, VIN, unit) })
    local payload = offline.of(blocks[3], "publish")[1].payload
    assert.is_not_nil(utf8.len(payload))
    assert.truthy(cjson.decode(payload).iccid:find "89860000000000/")
  end)

  it("of a link that vanishes leaves no owner behind", function()
    local blocks = offline.run(vectors.path, { 'open {"takeovers":1}', "connect 192.0.2.1:5000",
      "feed 1 " .. login("##", VIN), "hangup 1", "connect 192.0.2.2:5000",
      "feed 2 " .. login("##", VIN, 2), "hangup 2", "connect 192.0.2.3:5000",
      "feed 3 " .. login("##", VIN, 3), "hangup 3", "connect 192.0.2.4:5000",
      "feed 4 " .. login("##", VIN, 4) })
    assert.equal(frame("##", 1, 1, VIN, TIME), offline.of(blocks[12], "send")[1].hex)
  end)
end)
