-- SPDX-License-Identifier: Apache-2.0
-- Frames whose checksums are right and whose bodies are not: cut short, stretched, with bytes
-- changed. Nothing may fail in the adapter, and the terminal goes on.
local offline = require "support.offline"
local terminal = dofile "spec/protocols/jt808/terminal.lua"
local vectors = dofile "spec/protocols/jt808/vectors.lua"

local PATH = "protocols/jt808"
local PHONE = "013800138000"

--- Numbers that are the same in each run.
local function generator(seed)
  return function(n)
    seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
    return (seed >> 8) % n
  end
end

local function mutate(body, random)
  local how = random(4)
  if how == 0 then return body:sub(1, random(#body + 1)) end
  if how == 1 then return (body .. ("\xFF"):rep(random(40))):sub(1, 1023) end
  local bytes = { body:byte(1, -1) }
  for _ = 1, 1 + random(4) do
    if #bytes > 0 then bytes[1 + random(#bytes)] = how == 2 and random(256) or 255 end
  end
  local out = {}
  for i, b in ipairs(bytes) do out[i] = string.char(b) end
  return table.concat(out)
end

local function seeds()
  local out = {}
  for _, v in ipairs(vectors.load "jt808.jsonl") do
    if v.kind == "valid" and not v.expect.header.subpackage and v.expect.header.phone_is_bcd then
      local f = terminal.read(terminal.unhex(v.hex))[1]
      if f.id ~= 0x0003 and #f.body < 900 then out[#out + 1] = f end
    end
  end
  return out
end

--- Lines that say that the adapter itself failed.
local function failures(blocks)
  local out = {}
  for _, events in ipairs(blocks) do
    for _, e in ipairs(events) do
      if e.event == "log" and e.level == "error" then out[#out + 1] = e.text end
    end
  end
  return out
end

local LOGIN = "feed 1 " .. terminal.hex(terminal.frame(0x0102, "code", { serial = 1 }))

local function attack(config, o)
  local random, all = generator(808), seeds()
  for round = 0, 3 do
    local commands = { "open " .. config, "connect 192.0.2.1:5000", LOGIN }
    for i = 1, 600 do
      local f = all[1 + random(#all)]
      local more = {}
      for key, value in pairs(o(f, random, round * 600 + i)) do more[key] = value end
      more.serial = i + 1
      local frame = terminal.frame(f.id, mutate(f.body, random), more)
      commands[#commands + 1] = "feed 1 " .. terminal.hex(frame)
    end
    commands[#commands + 1] = LOGIN
    commands[#commands + 1] = "advance 600000"
    assert.same({}, failures(offline.run(PATH, commands)))
  end
end

describe("jt808 bodies that lie", function()
  it("break nothing", function()
    attack("{}", function() return { phone = PHONE } end)
  end)

  it("break nothing in another shape", function()
    attack('{"payload":"emqx","edition":"2019","vendor":"gps51"}', function()
      return { phone = PHONE }
    end)
  end)

  it("break nothing in packets", function()
    attack('{"resend_after":"1s","resend_tries":1,"reassembly":20000}', function(_, random)
      return { phone = PHONE, total = 1 + random(4), number = random(5) }
    end)
  end)
end)

describe("jt808 streams that lie", function()
  it("break nothing and come to an end", function()
    local random, commands = generator(19), { "open {}", "connect 192.0.2.1:5000", LOGIN }
    for _ = 1, 300 do
      local bytes = {}
      for i = 1, 1 + random(200) do
        local pick = random(8)
        bytes[i] = string.char(pick == 0 and 0x7E or pick == 1 and 0x7D or random(256))
      end
      commands[#commands + 1] = "feed 1 " .. terminal.hex(table.concat(bytes))
    end
    commands[#commands + 1] = "feed 1 7e"
    commands[#commands + 1] = "feed 1 "
      .. terminal.hex(terminal.frame(0x0002, "", { serial = 9 }))
    local blocks = offline.run(PATH, commands)
    assert.same({}, failures(blocks))
    assert.equal("heartbeat", terminal.published(blocks[#blocks])[1][1])
  end)

  it("of commands are told with the reason, and nothing is sent", function()
    local blocks = offline.run(PATH, { "open {}", "connect 192.0.2.1:5000", LOGIN,
      ('deliver %s jt808/x/down 1 {"args":{},"id":"a"}'):format(PHONE),
      ('deliver %s jt808/x/down 1 {"command":"check_link","ttl":"soon","id":"b"}'):format(PHONE),
      ('deliver %s jt808/x/down 1 {"command":"fly","id":"c"}'):format(PHONE) })
    for i, reason in ipairs { "'command' is missing", "'ttl' must be a number of seconds",
      "no such command: fly" } do
      local told = terminal.published(blocks[i + 3])[1][2]
      assert.same({ "refused", reason, ("abc"):sub(i, i) }, { told.state, told.reason, told.id })
      assert.same({}, terminal.sent(blocks[i + 3]))
    end
  end)

  it("of commands are refused one by one", function()
    local commands = { 'open {"allow":["*"]}', "connect 192.0.2.1:5000", LOGIN }
    local bad = { "null", "[]", "{}", '{"command":1}', '{"command":"text","args":7}',
      '{"command":"set_circles","args":{"areas":7}}',
      '{"command":"set_circles","args":{"areas":[7]}}',
      '{"command":"set_parameters","args":{"parameters":{"0xzz":"00"}}}',
      '{"command":"set_parameters","args":{"parameters":[1,2]}}',
      '{"command":"query_some_parameters","args":{"parameter_ids":7}}',
      '{"command":"terminal_control","args":{"command":300}}',
      '{"command":"terminal_control","args":{"command":1,"parameter":{}}}',
      '{"command":"upload_attachments","args":{"identification":7}}',
      '{"command":"set_polygon","args":{"vertices":[7]}}',
      '{"command":"vehicle_control","args":{"lock":"yes"}}',
      '{"command":"send","args":{"id":"x"}}', '{"command":"send","args":{"id":1,"data":"zz"}}',
      '{"header":{},"body":{}}', '{"header":{"msg_id":33027},"body":{"params":[7]}}',
      '{"header":{"msg_id":34304},"body":{"areas":[{"center_latitude":"x"}]}}' }
    for i, text in ipairs(bad) do
      commands[i + 3] = ("deliver %s jt808/x/down 1 %s"):format(PHONE, text)
    end
    commands[#commands + 1] = "feed 1 "
      .. terminal.hex(terminal.frame(0x0002, "", { serial = 9 }))
    local blocks = offline.run(PATH, commands)
    assert.same({}, failures(blocks))
    assert.equal("heartbeat", terminal.published(blocks[#blocks])[1][1])
  end)
end)
