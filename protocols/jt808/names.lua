-- SPDX-License-Identifier: Apache-2.0
-- Names for the field reference, which layouts do not carry: of messages in English and Chinese,
-- of fields in Chinese. A name in a layout says the same thing everywhere, so it stands once.
local M = { messages = {}, fields = {} }

local MESSAGES = [[
0x0001 terminal general response|终端通用应答
0x0002 terminal heartbeat|终端心跳
0x0003 terminal logout|终端注销
0x0004 query server time|查询服务器时间请求
0x0005 terminal asks for missing packets|终端补传分包请求
0x0100 terminal registration|终端注册
0x0102 terminal authentication|终端鉴权
0x0104 parameters response|查询终端参数应答
0x0107 attributes response|查询终端属性应答
0x0108 upgrade result|终端升级结果通知
0x0109 time request of vendors|校时请求（厂商）
0x0200 location report|位置信息汇报
0x0201 location query response|位置信息查询应答
0x0205 satellite status|卫星状态数据上报
0x0301 event report|事件报告
0x0302 answer to a question|提问应答
0x0303 order or cancel information|信息点播/取消
0x0500 vehicle control response|车辆控制应答
0x0506 heartbeat of vendors|心跳（厂商）
0x0608 areas or routes response|查询区域或线路数据应答
0x0700 driving record upload|行驶记录数据上传
0x0701 electronic waybill|电子运单上报
0x0702 driver identity|驾驶员身份信息采集上报
0x0704 batch location upload|定位数据批量上传
0x0705 CAN bus data|CAN 总线数据上传
0x0800 multimedia event|多媒体事件信息上传
0x0801 multimedia data|多媒体数据上传
0x0802 stored media response|存储多媒体数据检索应答
0x0805 shoot response|摄像头立即拍摄命令应答
0x0900 pass-through up|数据上行透传
0x0901 compressed upload|数据压缩上报
0x0A00 terminal RSA key|终端 RSA 公钥
0x1003 AV attributes|终端上传音视频属性
0x1005 passenger flow|终端上传乘客流量
0x1007 time zone of vendors|时区（厂商）
0x1205 AV resources|终端上传音视频资源列表
0x1206 file upload done|文件上传完成通知
0x1210 alarm attachments|报警附件信息
0x1211 attachment file|文件信息上传
0x1212 attachment file done|文件上传完成
0x1300 text answer of vendors|文本应答（厂商）
0x1FC4 upgrade progress|升级进度上报
0x6006 text of vendors|文本（厂商）
0x8001 platform general response|平台通用应答
0x8003 platform asks for missing packets|服务器补传分包请求
0x8004 server time response|查询服务器时间应答
0x8100 registration response|终端注册应答
0x8103 set parameters|设置终端参数
0x8104 query all parameters|查询终端参数
0x8105 terminal control|终端控制
0x8106 query given parameters|查询指定终端参数
0x8107 query attributes|查询终端属性
0x8108 send upgrade package|下发终端升级包
0x8109 time of vendors|校时应答（厂商）
0x8201 location query|位置信息查询
0x8202 temporary tracking|临时位置跟踪控制
0x8203 confirm alarm|人工确认报警消息
0x8204 link check|链路检测
0x8300 send text|文本信息下发
0x8301 set events|事件设置
0x8302 question|提问下发
0x8303 information menu|信息点播菜单设置
0x8304 information|信息服务
0x8400 call back|电话回拨
0x8401 set phone book|设置电话本
0x8500 vehicle control|车辆控制
0x8600 set circles|设置圆形区域
0x8601 delete circles|删除圆形区域
0x8602 set rectangles|设置矩形区域
0x8603 delete rectangles|删除矩形区域
0x8604 set polygon|设置多边形区域
0x8605 delete polygons|删除多边形区域
0x8606 set route|设置路线
0x8607 delete routes|删除路线
0x8608 query areas or routes|查询区域或线路数据
0x8700 collect driving record|行驶记录数据采集命令
0x8701 send driving record parameters|行驶记录参数下传命令
0x8702 ask for driver identity|上报驾驶员身份信息请求
0x8800 multimedia response|多媒体数据上传应答
0x8801 shoot now|摄像头立即拍摄命令
0x8802 search stored media|存储多媒体数据检索
0x8803 upload stored media|存储多媒体数据上传命令
0x8804 record audio|录音开始命令
0x8805 upload one stored medium|单条存储多媒体数据检索上传命令
0x8900 pass-through down|数据下行透传
0x8A00 platform RSA key|平台 RSA 公钥
0x9003 query AV attributes|查询终端音视频属性
0x9101 live video|实时音视频传输请求
0x9102 live video control|音视频实时传输控制
0x9105 live video status|实时音视频传输状态通知
0x9201 playback|平台下发远程录像回放请求
0x9202 playback control|平台下发远程录像回放控制
0x9205 query AV resources|查询资源列表
0x9206 file upload|文件上传指令
0x9207 file upload control|文件上传控制
0x9208 upload alarm attachments|报警附件上传指令
0x9212 attachment file response|文件上传完成消息应答
0x9301 PTZ rotation|云台旋转
0x9302 PTZ focus|云台调整焦距控制
0x9303 PTZ iris|云台调整光圈控制
0x9304 PTZ wiper|云台雨刷控制
0x9305 infrared light|红外补光控制
0x9306 PTZ zoom|云台变倍控制
]]

local FIELDS = [[
_ 保留
abnormal_driving 异常驾驶行为|acceleration_g 加速度|action 设置属性|ad0 模拟量 AD0|ad1 模拟量 AD1
adas 驾驶辅助参数|adas_alarm 驾驶辅助报警|alarm_event_id 人工确认报警事件ID|alarm_flags 报警标志
alarm_id 报警ID|alarm_mask 报警屏蔽字|alarm_number 报警编号|alarm_serial 报警消息流水号
alarm_shoot_switch 报警拍摄开关|alarm_sms 接收终端SMS报警号码|alarm_sms_switch 报警发送文本SMS开关
alarm_store_flag 报警拍摄存储标志|alarm_types 报警类型|alarms 报警标志|alarms_low_89 报警位（低有效）
alarms_low_c5 报警位（低有效）|alarms_raw 报警位|algorithm_faults 算法异常|altitude_m 高程
analog 模拟量|analysis_alarm 图像分析报警参数|answer_id 答案ID|answering_policy 电话接听策略
answers 候选答案|area_alarm 进出区域/路线报警|area_id 区域ID|area_ids 区域ID列表|areas 区域
attachments 附件数量|attributes 属性|audio 音频输出|audio_channels 音频通道|audio_codec 音频编码方式
audio_output 是否支持音频输出|auth_code 鉴权码|av_channels 音视频通道|azimuth_deg 方位角
backup_apn 备份服务器APN|backup_apn_password 备份服务器拨号密码|backup_apn_user 备份服务器拨号用户名
backup_server 备份服务器地址|battery 电池|battery_level_pct 电池电量|battery_pct 电池电量
battery_v 电池电压|behaviour 行为类型|beidou 北斗|below_zero 零下|blocks 数据块|body_length 消息体长度
brightness 亮度|bsd 盲区监测参数|bsd_alarm 盲区监测报警|can1_sampling CAN总线通道1采集时间间隔
can1_upload CAN总线通道1上传时间间隔|can2_sampling CAN总线通道2采集时间间隔
can2_upload CAN总线通道2上传时间间隔|can_id CAN ID|card 卡号|carriage_temperature_c 车厢温度|ccc 3C认证代码
cell 基站|cell_id 小区ID|cells 基站|certificate 从业资格证编码|channel 通道ID|channel_table 音视频通道列表
channel_video_parameters 单独视频通道参数|charge 充电|charge_pct 电量|charging 充电状态|chroma 色度
city 市县域ID|close 关闭类型|close_time 关闭时间|cn0 载噪比|coarse 时间/距离单位|collision 碰撞报警参数
comm 通信模块属性|command 命令|company 公司名称|computed 采集方式|condition 任务执行条件|conditions 条件唤醒类型
contacts 联系人|continuous_driving_limit 连续驾驶时间门限|contrast 对比度|control 控制|controls 控制类型
corner_angle 拐点补传角度|corner_id 拐点ID|corners 拐点|count 总数|course_deg 方向|customer 客户代码|data 数据
data_type 数据类型|day_driving_limit 当天累计驾驶时间门限|delete 删除标志|deviation 偏离类型|device_id 设备ID
direction 方向|distance_asleep 休眠时汇报距离间隔|distance_default 缺省距离汇报间隔
distance_emergency 紧急报警时汇报距离间隔|distance_not_logged_in 驾驶员未登录汇报距离间隔
distance_shots 定距拍照控制|driver_code 驾驶员编号|driver_id 驾驶员证号|driver_name 驾驶员姓名|driving 驾驶行为
dsm 驾驶员状态监测参数|dsm_alarm 驾驶员状态监测报警|duration 时间|e RSA公钥e|elevation_deg 仰角|encoding 编码
encryption 数据加密方式|end_time 结束时间|error 错误|event 事件|event_id 事件ID|events 事件|expiry 证件有效期
extended 帧类型|external_v 外部电压|extras 位置附加信息|face_match 人脸比对
factory_reset_phone 恢复出厂设置电话号码|fatigue 疲劳程度|fatigue_prewarning 疲劳驾驶预警差值
fence_radius 电子围栏半径|files 附件列表|firmware 固件|firmware_version 终端固件版本号|first_km 初始里程
flag 标志|forbidden_period 违规行驶时段|format 格式编码|frame_length 音频帧长度|front_distance 前车距离
front_speed_kmh 前车车速|fuel 油量|fuel_l 油量|fuel_pct 油量百分比|fuel_tank_l 油箱油量|fuel_text 油量文本
galileo 伽利略|glonass 格洛纳斯|gnss GNSS模块属性|gnss_baud GNSS波特率|gnss_modes GNSS定位模式
gnss_output GNSS详细定位数据输出频率|gnss_sampling GNSS详细定位数据采集频率|gnss_upload GNSS详细定位数据上传方式
gnss_upload_amount GNSS详细定位数据上传设置|gps GPS|hardware 硬件版本|hardware_version 终端硬件版本号
heartbeat_interval 终端心跳发送间隔|humidity_pct 湿度|ic_backup_server IC卡认证备份服务器地址
ic_main_server IC卡认证主服务器地址|ic_tcp_port IC卡认证主服务器TCP端口|ic_udp_port IC卡认证主服务器UDP端口
iccid SIM卡ICCID|id ID|id_card 身份证号|identification 报警标识号|imei IMEI|index 序号|info_type 信息类型
inputs 输入|inputs_v 输入电压|installation_faults 安装异常|installed 安装时间|interval 时间间隔
interval_asleep 休眠时汇报时间间隔|interval_default 缺省时间汇报间隔|interval_emergency 紧急报警时汇报时间间隔
interval_ms 采集时间间隔|interval_not_logged_in 驾驶员未登录汇报时间间隔|io IO状态|ip 服务器地址|issuer 发证机构名称
items 数据项|key_alarm_flag 关键标志|lac 位置区码|latitude 纬度|length 长度|level 报警级别|licence 机动车驾驶证号码
live_fps 实时流帧率|live_kbps 实时流码率|live_key_interval 实时流关键帧间隔|live_mode 实时流编码模式
live_resolution 实时流分辨率|load_kg 载重|location 位置信息|location_type 位置类型|lock_event 锁事件
lock_state 锁状态|lock_status 锁状态|lock_text 锁文本|locks 锁|logical 逻辑通道号|longitude 经度|loss 丢包率
lower_right_latitude 右下点纬度|lower_right_longitude 右下点经度|mac MAC地址|magnitude_c 温度绝对值
main_apn 主服务器APN|main_apn_password 主服务器拨号密码|main_apn_user 主服务器拨号用户名|main_server 主服务器地址
manufacturer_id 制造商ID|max_audio_channels 音频物理通道最大数|max_call_time 每次最长通话时间
max_call_time_month 当月最长通话时间|max_parking 最长停车时间|max_speed 最高速度
max_video_channels 视频物理通道最大数|mcc 移动国家码|media 音视频类型|media_id 多媒体ID|media_ids 多媒体ID列表
media_quality 图像/视频质量|mileage_km 里程|min_rest 最小休息时间|minutes 分钟|minutes_before 起始时间（分钟）
missing 补传数据包|mnc 移动网络码|mode 回放方式|model 终端型号|modes 休眠唤醒模式|modification 修改单号
monitor_phone 监听电话号码|more_cells 基站列表|motion 运动|msg_id 消息ID|n RSA公钥n|name 名称|names 名称
neighbours 邻区|night_max_speed 夜间最高速度|number 卫星编号|obd OBD数据|obd_list OBD数据|obd_record OBD数据
obd_text OBD文本|odometer_km 里程表读数|odometer_m 里程|off 下车人数|offset 数据偏移|on 上车人数
original_serial 原始消息流水号|osd OSD字幕叠加|overspeed_alarm 超速报警附加信息|overspeed_duration 超速持续时间
overspeed_prewarning_kmh 超速预警差值|package_length 升级数据包长度|packet_number 包序号
packet_numbers 重传包ID列表|packet_total 消息总包数|parameter 参数|parameter_ids 参数ID列表|parameters 参数项
passengers 核载人数|password 密码|path 文件上传路径|percent 百分比|periods 唤醒时段|periods_on 定时唤醒启用标志
peripherals 外设|phone 终端手机号|phone_number 电话号码|physical 物理通道号|plate 车牌号码|plate_color 车牌颜色
plate_type 车牌分类|platform_phone 监控平台电话号码|platform_sms 监控平台SMS电话号码|points 点|port 端口
position 位置|power_mv 电源电压|pressure 压力|pressure_kpa 胎压|privileged_sms 监管平台特权短信号码
produced 生产日期|product 产品型号|progress 进度|protocol_version 协议版本号|province 省域ID|ptz 云台
pulses_per_km 脉冲系数|quality 质量|question 问题|radio 无线|radius 半径|read_result IC卡读取结果
rear_threshold 后方接近报警阈值|recorder_speed_kmh 行驶记录功能获取的速度|reference_kmh 参考速度|reply_id 应答ID
reply_serial 应答流水号|report_scheme 位置汇报方案|report_strategy 位置汇报策略|reserved 预留
reset_phone 复位电话号码|resolution 分辨率|rest 剩余|result 结果|rollover_angle 侧翻角度|rotation 转动
route_id 路线ID|route_ids 路线ID列表|rssi 信号强度|rssi_dbm 信号强度|sample_bits 采样位数|sample_rate 采样率
samples 采样|satellites 卫星数|saturation 饱和度|save 保存标志|seconds 秒数据|section_id 路段ID
section_time_alarm 路段行驶时间不足/过长报警|sensor 传感器|sensors 传感器|sequence 序号|serial 消息流水号
server_tcp_port 服务器TCP端口|server_udp_port 服务器UDP端口|side_threshold 侧后方接近报警阈值|sign_type 道路标志类型
sign_value 道路标志数据|signal_strength 无线信号强度|signals 信号|size 大小|slave_apn 从服务器APN
slave_apn_password 从服务器拨号密码|slave_apn_user 从服务器拨号用户名|slave_backup_server 从服务器备份地址
sleep_wake 终端休眠唤醒模式设置|sms_reply_timeout SMS应答超时时间|sms_retransmissions SMS重传次数
software 软件版本|software_version 软件版本号|special_alarm_recording 特殊报警录像参数|speed 速度|speed_kmh 速度
start 起点|start_time 开始时间|state 状态|status 状态|stop 终点|storage 存储器类型|storage_faults 存储器故障
storage_fps 存储流帧率|storage_kbps 存储流码率|storage_key_interval 存储流关键帧间隔|storage_mode 存储流编码模式
storage_pct 存储阈值|storage_resolution 存储流分辨率|strap 锁带|stream 码流类型|sub_locks 子锁|subpackage 分包
supply 电源|supply_mv 电源电压|supply_v 电源电压|tcp_port TCP端口|tcp_reply_timeout TCP应答超时时间
tcp_retransmissions TCP重传次数|temperature_c 温度|temperatures 温度|terminal_id 终端ID|text 文本
text_hex 文本数据|text_type 文本类型|thermometers 温度计|time 时间|timed_shots 定时拍照控制
too_long 行驶过长阈值|too_short 行驶不足阈值|total_km 累计里程|tpms 胎压监测参数|tpms_alarm 胎压监测报警|type 类型
tyre_pressure 胎压|tyres 轮胎|udp_port UDP端口|udp_reply_timeout UDP应答超时时间|udp_retransmissions UDP重传次数
uid UID|upper_left_latitude 左上点纬度|upper_left_longitude 左上点经度|user 用户名|user_status 用户状态
validity 位置跟踪有效期|vehicle_signals 扩展车辆信号状态|vehicle_status 车辆状态|vendor_alarms 厂商报警
version 版本|version_flag 版本标识|vertices 顶点|video_alarm_mask 视频报警屏蔽字|video_alarms 视频相关报警
video_channels 视频通道|video_codec 视频编码方式|video_covered_channels 视频信号遮挡通道
video_lost_channels 视频信号丢失通道|video_parameters 音视频参数|vin 车辆VIN|voltages 电压|voltages_v 电压
wake 唤醒时间|weekdays 星期|width 路段宽度|wifi Wi-Fi|wifi_points Wi-Fi|work 工作状态|year 年号
channel_1 通道1定时拍照开关|channel_2 通道2定时拍照开关|channel_3 通道3定时拍照开关|channel_4 通道4定时拍照开关
channel_5 通道5定时拍照开关|store_1 通道1存储标志|store_2 通道2存储标志|store_3 通道3存储标志
store_4 通道4存储标志|store_5 通道5存储标志
]]

for id, en, zh in MESSAGES:gmatch "(0x%x+) ([^|]+)|([^\n]+)" do
  M.messages[tonumber(id)] = { en, zh }
end
for item in FIELDS:gmatch "[^|\n]+" do
  local name, zh = item:match "^([%w_]+) (.+)$"
  M.fields[name] = zh
end
for id = 0x0110, 0x01FF do M.fields[("can_id_%04x"):format(id)] = "CAN总线ID单独采集设置" end

return M
