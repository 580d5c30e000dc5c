-- {{name}}: an adapter. The protocol that stands here works, and its vectors pass: change it
-- into yours step by step, and the vectors with it. `tidegate test` with this folder runs them.
--
--   AA 55 | size | type | serial | body … | CRC-16/MODBUS, low byte first
--
-- size counts what follows it. A device logs in first; the host acknowledges each message.
local tg = require "tidegate"

local HEAD = tg.struct [[
  _magic:u16be=0xAA55  size:u8  type:u8{1=login 2=report 0x81=ack 0x82=interval}  serial:u8
]]

local BODIES = {
  login = tg.struct [[ device:bcd[6] ]],
  report = tg.struct [[ temperature:i16be*0.1  battery:u8 in 0..100 ]],
  ack = tg.struct [[ of:u8 ]],
  interval = tg.struct [[ seconds:u16be ]],
}

local M = tg.adapter {
  id = "{{name}}",
  version = "0.1.0",
  api = 1,
  frame = {
    kind = "length", magic = "\xAA\x55", size = "u8", min = 7, max = 64,
    check = "crc16/modbus",
  },
  config = {
    interval_max = { type = "duration", default = "1h", help = "longest time between reports" },
  },
}

--- One whole frame with a right checksum to a message. Pure: no connection, no state.
function M.decode(frame)
  local head, at = HEAD:decode(frame)
  if not head then return nil, at end
  local layout = BODIES[head.type]
  if not layout then return nil, ("unknown type 0x%02X"):format(head.type) end
  local data, err = layout:decode(frame, at)
  if not data then return nil, err end
  return { type = head.type, serial = head.serial, device = data.device, data = data }
end

--- A message to the bytes of a frame. Pure as well.
function M.encode(message)
  local body = BODIES[message.type]:encode(message)
  local text = HEAD:encode { size = #body + 4, type = message.type, serial = message.serial }
    .. body
  return text .. string.pack("<I2", tg.check.crc16_modbus(text))
end

local function log_in(conn, message)
  local who, err = tg.auth.check { device = message.device }
  if not who then return conn:close("auth", err) end
  local bound, why = conn:bind(message.device, who)
  if not bound then return conn:close("auth", why) end
  conn.state.serial = 0
end

--- One at a time per connection; may wait.
function M.on_message(conn, message)
  if message.type == "login" then
    log_in(conn, message)
  elseif not conn.device then
    return conn:close("protocol", "no login")
  end
  if not conn.open then return end
  conn:publish(message)
  if message.type ~= "ack" then
    conn:send { type = "ack", serial = message.serial, of = message.serial }
  end
end

M.commands = {}

--- {"command": "interval", "args": {"seconds": 60}} on the device's down topic.
function M.commands.interval(conn, args)
  if args.seconds * 1000 > M.config.interval_max then return nil, "longer than interval_max" end
  conn.state.serial = (conn.state.serial + 1) % 256
  local serial = conn.state.serial
  return conn:request({ type = "interval", serial = serial, seconds = args.seconds },
    { match = { type = "ack" }, timeout = "10s" })
end

return M
