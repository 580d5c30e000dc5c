-- SPDX-License-Identifier: Apache-2.0
-- A device on a TCP connection: sends bytes, awaits bytes. Nothing here knows a protocol.
local uv = require "luv"
local loop = require "support.loop"

local Tcp = require "support.socket"()

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02X "):format(c:byte()) end))
end

--- Begins to read; what came waits in `self.data`. When the peer ends, this side does, too,
--- as clients do: a peer that waits for that is not kept waiting.
local function listen(self)
  self.handle:read_start(function(err, chunk)
    if chunk then
      self.data = self.data .. chunk
    else
      self.ended = err or "EOF"
      if not err and not self.handle:is_closing() then self.handle:shutdown() end
    end
  end)
end

function Tcp.connect(port, address)
  local self = setmetatable({ data = "", handle = uv.new_tcp() }, Tcp)
  local done, failure
  self.handle:connect(address or "127.0.0.1", port, function(err) done, failure = true, err end)
  loop.await(function() return done end, "a connection to port " .. port)
  if failure then
    self.handle:close()
    error(("connect to port %d: %s"):format(port, failure), 2)
  end
  self.handle:nodelay(true)
  listen(self)
  return self:opened()
end

--- Queues `bytes`; they leave while the loop runs.
function Tcp:send(bytes)
  self.handle:write(bytes)
  uv.run "nowait"
  return self
end

--- Takes exactly `n` bytes.
function Tcp:read(n, ms)
  loop.await(function() return #self.data >= n or self.ended end,
    function() return ("%d bytes, have %d: %s"):format(n, #self.data, hex(self.data)) end, ms)
  if #self.data < n then
    error(("wanted %d bytes, the peer closed (%s) after: %s"):format(
      n, self.ended, hex(self.data)), 2)
  end
  local bytes = self.data:sub(1, n)
  self.data = self.data:sub(n + 1)
  return bytes
end

--- Awaits exactly these bytes.
function Tcp:expect(bytes, ms)
  local got = self:read(#bytes, ms)
  if got ~= bytes then error(("wanted %s\ngot    %s"):format(hex(bytes), hex(got)), 2) end
  return self
end

--- Takes bytes up to and with `ending`.
function Tcp:read_to(ending, ms)
  local at = loop.await(function()
    local _, last = self.data:find(ending, 1, true)
    return last or (self.ended and -1)
  end, function() return ("%q in: %s"):format(ending, hex(self.data)) end, ms)
  if at == -1 then error(("the peer closed (%s) before %q"):format(self.ended, ending), 2) end
  return self:read(at)
end

--- Takes all there is until the peer closes. @return bytes, how it ended ("EOF", "ECONNRESET")
function Tcp:read_all(ms)
  loop.await(function() return self.ended end, "the peer to close", ms)
  local bytes = self.data
  self.data = ""
  return bytes, self.ended
end

function Tcp:await_close(ms)
  loop.await(function() return self.ended end, "the peer to close", ms)
  return self.ended
end

--- Stops and goes on reading: a peer that is slow.
function Tcp:pause() self.handle:read_stop() end

function Tcp:resume() listen(self) end

--- Ends with a reset instead of a FIN.
function Tcp:reset() self:close "close_reset" end

Tcp.hex = hex

--- "78 78 0D" or "78780D" to bytes.
function Tcp.bytes(text)
  return (text:gsub("%s", ""):gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end))
end

return Tcp
