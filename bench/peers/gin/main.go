// What a team would write in an afternoon: gin in front, go-redis behind, one INCRBY a request.
// No batching, no durability beyond Redis's, no events, no deduplication: the peer that
// bench/run --servers split+redis,gin compares with.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"
)

type increment struct {
	ResourceID  string `json:"resource_id" binding:"required"`
	CounterType string `json:"counter_type" binding:"required"`
	Delta       int64  `json:"delta"`
}

func main() {
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: os.Args[2], PoolSize: 100})
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.Use(gin.Recovery())
	router.POST("/api/v1/counter/increment", func(c *gin.Context) {
		var in increment
		if err := c.ShouldBindJSON(&in); err != nil {
			c.JSON(http.StatusBadRequest, gin.H{"error": "Invalid request format", "details": err.Error()})
			return
		}
		if in.Delta == 0 {
			in.Delta = 1
		}
		key := fmt.Sprintf("counter:%s:%s", in.ResourceID, in.CounterType)
		value, err := client.IncrBy(context.Background(), key, in.Delta).Result()
		if err != nil {
			c.JSON(http.StatusInternalServerError, gin.H{"error": "Failed to increment counter", "details": err.Error()})
			return
		}
		c.JSON(http.StatusOK, gin.H{"status": "success", "data": gin.H{
			"resource_id": in.ResourceID, "counter_type": in.CounterType, "current_value": value,
			"success": true, "timestamp": time.Now().Unix()}})
	})
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(listener, router))
}
