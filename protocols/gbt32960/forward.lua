-- SPDX-License-Identifier: Apache-2.0
-- Links to upper platforms: what vehicles send is handed on as they sent it, each frame with
-- its acknowledgement. Between the two stands a spool in the host's store: a vehicle's frame
-- is in there before the vehicle is answered, and leaves it when the upper platform has said
-- that it has it. So a link that is cut, or a host that is killed, costs no frame; what waited
-- longer than the link is up is sent as reissue (03). forward_link.lua speaks; this file knows
-- whose frames go where.
local tg = require "tidegate"
local options = require "forward_options"
local frames = require "forward_frames"
local link = require "forward_link"

local M = {}

---@param adapter tg.Adapter
function M.add(adapter)
  local links = options.read(adapter.config.forward)
  local lost = tg.metric.counter("forward_lost", "frames that the spool did not take")

  for i, one in ipairs(links) do
    one.queue = tg.spool.open("forward-" .. one.name, {
      max_bytes = one.max_bytes, max_age = one.max_age,
    })
    one.again = tg.spool.open("forward-" .. one.name .. "-again", {
      max_bytes = one.max_bytes, max_age = one.max_age,
    })
    local worker, workers = tg.worker()
    if (i - 1) % workers == worker then link.start(one) end
  end

  --- Waits until the frame is in the spool of each link that wants its VIN.
  --- @param v table? the vehicle on its link, which knows its login's frame
  function M.take(conn, msg, v)
    if not msg.frame then return end
    for _, one in ipairs(links) do
      if options.wants(one, msg.device) then
        local login = msg.cmd == 0x01 and msg.frame or v and v.login or ""
        local id, err = one.queue:push(frames.item(login, msg.frame, 0))
        if not id then
          lost()
          conn:complain(("forward %s: %s"):format(one.name, err.message))
        end
      end
    end
  end

  local on_message, on_close, on_open = adapter.on_message, adapter.on_close, adapter.on_open

  function adapter.on_open(conn, what)
    local one = what and what.forward and links[what.forward]
    if one then return link.up(conn, one) end
    if on_open then return on_open(conn, what) end
  end

  function adapter.on_message(conn, msg)
    if conn.state.forward then return link.answer(conn, msg) end
    return on_message(conn, msg)
  end

  function adapter.on_close(conn, reason)
    if conn.state.forward then return link.down(conn, reason) end
    return on_close(conn, reason)
  end

  function adapter.on_shutdown(conn)
    if conn.state.forward then link.leave(conn) end
  end
end

return M
